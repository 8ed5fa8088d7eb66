"""An OpenAI-compatible server: every request with steerings and strengths of its own.

`protocol` is what an engine is, `transformers_engine` is one; `app` is the HTTP face of any.
"""
