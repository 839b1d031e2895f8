"""What would keep a deployment from succeeding, looked for before anything is created, with what mends it."""
