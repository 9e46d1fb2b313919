"""Write reports and model cards, as pages and as text."""
