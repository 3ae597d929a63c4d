"""The API server as mechanisms: watch cache, lease manager, the way in and the way back. No SimPy in this room."""
