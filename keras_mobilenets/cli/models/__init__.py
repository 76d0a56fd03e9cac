"""The verbs about models: the list, the choice, the layers."""
