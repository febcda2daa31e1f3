"""Structure files that take minutes to read, although they are small."""


def shared_sites_cif(n_sites: int = 15_000) -> str:
    """A cell of partly filled sites, which pymatgen compares each with each."""
    lines = ["data_x", *(f"_cell_length_{x} 90" for x in "abc")]
    lines += [f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma")]
    lines += ["_symmetry_space_group_name_H-M 'P 1'", "loop_"]
    names = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    lines += [f"_atom_site_{name}" for name in names]
    for n in range(n_sites):
        place = " ".join(f"{(n // 30**axis % 30) / 30:.3f}" for axis in range(3))
        lines.append(f"Na{n} Na {place} 0.5")
    return "\n".join(lines) + "\n"
