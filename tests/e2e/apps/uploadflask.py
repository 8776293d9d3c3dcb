"""Forms, files, cookies and redirects with Flask."""

import hashlib

from flask import Flask, jsonify, make_response, redirect, request

app = Flask(__name__)


def digest(stream):
    sha = hashlib.sha256()
    while block := stream.read(65536):
        sha.update(block)
    return sha.hexdigest()


@app.post("/form")
def form():
    return jsonify(request.form.to_dict(flat=False))


@app.post("/files")
def files():
    return jsonify(
        form=request.form.to_dict(flat=False),
        files={
            name: [file.filename, digest(file.stream)]
            for name, file in request.files.items()
        },
    )


@app.post("/json")
def json():
    return jsonify(request.get_json())


@app.post("/raw")
def raw():
    return jsonify(digest(request.stream))


@app.get("/login")
def login():
    response = make_response(redirect("/welcome"))
    response.set_cookie("user", "Ren\u00e9e; & co")
    response.set_cookie("other", "2")
    return response


@app.get("/welcome")
def welcome():
    return jsonify(dict(request.cookies))


@app.get("/query")
def query():
    return jsonify(request.args.to_dict(flat=False))


@app.get("/word/<path:word>")
def word(word):
    return jsonify(word)
