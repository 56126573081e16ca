"""What costs matter, measured."""
