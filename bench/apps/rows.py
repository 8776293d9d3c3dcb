"""What the page of 30 KiB shows."""

TITLE = "Stock & orders"
ROWS = [
    {
        "number": 1000 + n,
        "name": f"Article <{n}>",
        "price": f"{n * 7 % 900}.{n * 13 % 100:02}",
        "sold": n % 3 == 0,
    }
    for n in range(180)
]
