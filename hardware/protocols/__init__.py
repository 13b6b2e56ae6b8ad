"""What is on the wire: registers and frames of each device, encoding and decoding side by side."""
