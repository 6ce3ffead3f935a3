"""What the bandwidth stage adds above a ceiling: its level, by rule or learned, and its sound."""
