"""The staff console: the platform's own people look at organizations, and put right what they cannot themselves."""
