"""The viewer that `depth-anything app` serves: a page of ours and the server behind it.

A page of our own, not Gradio: hovering over values, turning a cloud and measuring in it need a script of ours anyway;
Gradio 6.31 brings 31 MB (80 MB installed, 2,458 files), fifteen packages, a call to its makers at each start, and pages
that its server must be kept from sharing. This page is a few hundred lines on Starlette and uvicorn, which Prefect
and MLflow bring, and offline by construction: its content security policy lets a browser ask nobody else.
"""
