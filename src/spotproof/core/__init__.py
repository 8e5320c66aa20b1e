"""Clock, errors, event kinds, ids, exit codes: what every layer may use."""
