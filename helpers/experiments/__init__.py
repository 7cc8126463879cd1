"""The long sweeps behind notebooks 9 to 14, whose results ship under data/."""
