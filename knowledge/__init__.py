"""Documents -> blocks -> embeddings -> matches.

What a document says, cut into blocks that a prompt can carry, found again for a question, or nothing
found when nothing fits. Knows no server, no engine and no KV: it imports nothing else of this project.
"""
