"""What more judgments and rows would buy, and what it all costs."""
