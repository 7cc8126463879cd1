"""The long sweeps behind notebooks 10 and 12 to 14, whose results ship under data/."""
