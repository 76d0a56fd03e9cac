"""The verbs that train a model, and `explain`, about what it has learnt."""
