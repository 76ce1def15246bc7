{ ... }: { shapes = []; }
