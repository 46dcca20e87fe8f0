"""Training: fine-tuning and distillation, on one process or many."""
