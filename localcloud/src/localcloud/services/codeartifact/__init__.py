"""AWS CodeArtifact: domains, repositories, and an index for pip, uv and twine."""

from localcloud.services.codeartifact.service import CodeArtifact

__all__ = ["CodeArtifact"]
