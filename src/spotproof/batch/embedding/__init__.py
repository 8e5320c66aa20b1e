"""Texts to vectors: tokenise ahead, pack by length, run the model, give results in input order."""
