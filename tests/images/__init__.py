"""The truth about images: the process runtime beside real containers."""
