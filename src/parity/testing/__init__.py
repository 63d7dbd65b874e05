"""Public conformance kits and small models, for whoever adds an engine or a benchmark."""
