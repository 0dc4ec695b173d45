"""The OpenAI surface of an engine of ours: bodies checked, answers shaped. Knows no model and no tensor."""
