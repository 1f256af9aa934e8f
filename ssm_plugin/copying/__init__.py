"""Files and directories, both ways, by commands at the node alone."""
