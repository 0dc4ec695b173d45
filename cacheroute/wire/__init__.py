"""What crosses sockets: frozen structs only, one module per edge. The roles meet here and nowhere else."""
