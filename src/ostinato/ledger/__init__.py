"""What was answered, for whom and for how much: a line a call, summed by day."""
