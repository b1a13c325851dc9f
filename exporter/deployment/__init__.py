"""How far the deployment has come: migration history, phases, marks and sign-offs."""
