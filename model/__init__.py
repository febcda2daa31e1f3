"""CrysMMNet: crystal properties predicted from structure and text."""
