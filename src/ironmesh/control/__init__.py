"""The operator API: what people and programs ask of a running node, over a local socket."""
