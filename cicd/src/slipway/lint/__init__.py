"""What cfn-lint misses: rules for it, found through `.cfnlintrc.yaml` by the command line, editors and the tests.

`rules/` holds one rule a file, as cfn-lint loads them; the modules beside it are what they share.
"""
