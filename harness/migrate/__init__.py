"""Files and command lines of other tools read as scenarios, line by line."""
