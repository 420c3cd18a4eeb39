"""The stack's own processes, as somebody asks them who only looks: the console."""
