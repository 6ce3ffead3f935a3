"""What is measured about nitido itself, and against what."""
