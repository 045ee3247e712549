"""The `apportion` command."""
