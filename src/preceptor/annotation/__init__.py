"""What people are asked, and what becomes of their answers."""
