from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("station", "0009_unproven_roots"),
    ]

    operations = [
        migrations.AddField(
            model_name="filejob",
            name="encrypted_request",
            field=models.TextField(blank=True, default=""),
        ),
    ]
