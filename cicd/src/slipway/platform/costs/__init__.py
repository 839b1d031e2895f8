"""What the platform costs: computed from its templates and a dated list of AWS's prices."""
