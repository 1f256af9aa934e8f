"""Why a session cannot be started: the whole way to a node, step by step."""
