"""Images that a user's cluster would pull, made here from Debian's packages and the Go builds, under the same
names. No other folder knows how."""
