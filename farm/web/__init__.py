"""What the farm shows in a browser: a layer that presents, as farm/commands does.

    password.py   the password and the token of this farm's pages, in files of mode 0600
    attempts.py   how long whoever guesses must wait
    login.py      who may see and do what; every page is one of its Handlers
    server.py     where pages listen: this machine alone, or with TLS

    dashboard.py  the farm's own pages: their addresses and handlers
    pages.py      what they show; templates/ how
    datasets.py   the door to datasets on storage; thumbnails.py: small pictures of samples
    curves.py     the metrics of a run; svg.py: charts; dag.py: the graph of a pipeline

Needs tornado, which the extra `monitor` brings.
"""
