"""Load by Locust: shapes, arrivals, users and their recorder, in processes of their own.

The only folder that imports Locust; nothing that loads a runtime runs in its processes.
"""
