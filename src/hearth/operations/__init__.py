"""Change the world, or tell about it: one module per subcommand of `hearth`."""
