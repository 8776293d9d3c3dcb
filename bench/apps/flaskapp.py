"""Flask: hello, and a page made by Jinja."""

from flask import Flask, render_template

import rows

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello, world!\n"


@app.get("/page")
def page():
    return render_template("page.html", title=rows.TITLE, rows=rows.ROWS)
