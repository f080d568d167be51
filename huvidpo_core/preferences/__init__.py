"""What people made and what they think of it."""
