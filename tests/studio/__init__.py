"""The stacks around people and their workbench, deployed, updated and deleted in a local cloud of their own."""
