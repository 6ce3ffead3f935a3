"""The evidence: findings in words, and the picture."""
