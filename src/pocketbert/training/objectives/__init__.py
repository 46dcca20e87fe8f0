"""What a run minimizes: named losses, each a sum over items that a batch counts."""
