"""What the farm shows in a browser: a layer that presents, as farm/commands does.

    password.py   the password and the token of this farm's pages, in files of mode 0600
    attempts.py   how long whoever guesses must wait
    login.py      who may see and do what; every page is one of its Handlers
    server.py     where pages listen: this machine alone, or with TLS

    dashboard.py  the farm's own pages: their addresses and handlers
    pages.py      what they show; templates/ how
    cards.py      of jobs and workers; dataset_facts.py, run_facts.py: of what jobs make
    datasets.py   the door to storage; thumbnails.py: small pictures of samples
    curves.py     the metrics of a run; svg.py: charts; dag.py: the graph of a pipeline

    monitor.py    Flower (flower.py) behind the same login; metrics.py: figures for Prometheus

Needs tornado, which the extra `monitor` brings.
"""
