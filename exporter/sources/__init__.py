"""How a question is asked: a query file as SQL, with what it requires checked first."""
