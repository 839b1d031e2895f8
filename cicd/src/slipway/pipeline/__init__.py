"""The SageMaker pipeline of a project: its definition, and how it is run and watched."""
