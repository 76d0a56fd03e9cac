"""What a model is trained for beside its labels: a teacher's answers, another network's weights."""
