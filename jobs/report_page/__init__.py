"""A run, a session or a range of sessions as one HTML page that opens offline.

``chosen`` finds the runs, ``content`` builds the page's tables from the record with the functions that the
printing commands use, ``rendering`` fills the templates, ``command`` writes the file. A page requests
nothing and runs no script but its own: its policy (CSP) has the hashes of that script and of the style sheet.
"""
