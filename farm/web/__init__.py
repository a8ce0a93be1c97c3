"""What the farm shows in a browser: a layer that presents, as farm/commands does.

    password.py   the password and the token of this farm's pages, in files of mode 0600
    attempts.py   how long whoever guesses must wait
    login.py      who may see and do what; every page is one of its Handlers
    server.py     where pages listen: this machine alone, or with TLS

Needs tornado, which the extra `monitor` brings.
"""
